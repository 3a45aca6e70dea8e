;; Asks for all there can be at once.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run")
      (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
