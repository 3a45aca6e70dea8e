;; Loops before anything of it was called.
(component
  (core module $m
    (func $start (loop $more (br $more)))
    (start $start)
    (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
