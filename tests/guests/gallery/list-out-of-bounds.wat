;; A list that begins in its memory and ends beyond it.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\00\00\1f\00\01\00\01\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list u8)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
