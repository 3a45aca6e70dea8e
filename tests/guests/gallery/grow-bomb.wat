;; Takes a page at a time until it gets no more.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run")
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      unreachable))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
