;; A text that is none.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\10\00\00\00\02\00\00\00") (data (i32.const 16) "\ff\fe")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result string) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
