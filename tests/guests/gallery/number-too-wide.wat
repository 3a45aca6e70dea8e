;; A number of eight bits with more than eight.
(component
  (core module $m (func (export "run") (result i32) (i32.const 0x12345607)))
  (core instance $i (instantiate $m))
  (func (export "run") (result u8) (canon lift (core func $i "run"))))
