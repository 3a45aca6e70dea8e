;; A character that is none.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\00\d8\00\00\00\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (tuple char u32)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
