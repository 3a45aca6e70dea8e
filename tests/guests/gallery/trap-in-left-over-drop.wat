;; The same, left to whoever clears up after the call.
(component
  (core module $d (func (export "drop") (param i32) unreachable))
  (core instance $d (instantiate $d))
  (type $r (resource (rep i32) (dtor (core func $d "drop"))))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (func (export "run") (result i32)
      (local $n i32)
      (loop $more
        (drop (call $new (i32.const 7)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $n) (i32.const 100))))
      (i32.const 7)))
  (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
