;; Fills and copies all of its memory over and over: few instructions, much work.
(component
  (core module $m
    (memory (export "memory") 900)
    (func (export "run")
      (loop $more
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 58982400))
        (memory.copy (i32.const 0) (i32.const 1) (i32.const 58982399))
        (br $more))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
