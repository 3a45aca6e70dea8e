;; Grows a table until it gets no more.
(component
  (core module $m
    (table 1 funcref)
    (func (export "run")
      (loop $more (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))
      unreachable))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
