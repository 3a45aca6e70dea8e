;; Calls itself without end.
(component
  (core module $m (func $f (export "run") (call $f)))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
