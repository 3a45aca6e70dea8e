;; Neither something nor nothing.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\02\00\00\00\07\00\00\00")
    (func (export "run") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (option u32)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
