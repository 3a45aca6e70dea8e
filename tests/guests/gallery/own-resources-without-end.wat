;; Makes resources of its own and keeps them all.
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (func (export "run") (loop $more (drop (call $new (i32.const 7))) (br $more))))
  (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
  (func (export "run") (canon lift (core func $i "run"))))
