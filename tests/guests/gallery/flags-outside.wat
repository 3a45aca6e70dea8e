;; Flags that its type does not have, and one that it has.
(component
  (core module $m (func (export "run") (result i32) (i32.const 0xfffffffe)))
  (core instance $i (instantiate $m))
  (type $f' (flags "one" "two"))
  (export $f "f" (type $f'))
  (func (export "run") (result $f) (canon lift (core func $i "run"))))
