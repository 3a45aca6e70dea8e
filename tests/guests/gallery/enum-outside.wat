;; A case that its type does not have.
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\07\00\00\00\00\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (tuple (result u8 (error u8)) u64)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
