;; A list of numbers of eight bytes at an odd place.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\11\00\00\00\01\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list u64)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
