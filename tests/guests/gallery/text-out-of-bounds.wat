;; A text that lies where it has no memory.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\00\00\ff\7f\10\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result string) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
