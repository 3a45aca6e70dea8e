;; One text of nearly all of its memory.
(component
  (core module $m
    (memory (export "memory") 960)
    (func (export "run") (result i32)
      (memory.fill (i32.const 65536) (i32.const 97) (i32.const 60000000))
      (i32.store (i32.const 8) (i32.const 65536))
      (i32.store (i32.const 12) (i32.const 60000000))
      (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "run") (result string) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
