;; Lists that lie in each other, and in the list of them.
(component
  (core module $m
    (memory (export "memory") 1)
    ;; At 8 where it lies and how long it is: at 16, three lists, of two numbers each.
    (data (i32.const 8) "\10\00\00\00\03\00\00\00\10\00\00\00\02\00\00\00\14\00\00\00\02\00\00\00\18\00\00\00\02\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list (list u32))) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
