;; A list of 2³²−1 elements.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\10\00\00\00\ff\ff\ff\ff")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list u64)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
