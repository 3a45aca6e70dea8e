;; A truth that is neither 0 nor 1.
(component
  (core module $m (func (export "run") (result i32) (i32.const 0x7fffff02)))
  (core instance $i (instantiate $m))
  (func (export "run") (result bool) (canon lift (core func $i "run"))))
