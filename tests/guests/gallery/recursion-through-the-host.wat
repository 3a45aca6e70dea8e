;; Calls the host, which asks for room for its answer, upon which it calls the host.
(component
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $memory
    (memory (export "memory") 1)
    (table (export "table") 1 funcref)
    (type $realloc (func (param i32 i32 i32 i32) (result i32)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call_indirect (type $realloc) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0))))
  (core instance $mem (instantiate $memory))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
  (core module $m
    (import "mem" "table" (table 1 funcref))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (func $again (param i32 i32 i32 i32) (result i32) (call $bytes (i64.const 8) (i32.const 0)) (i32.const 64))
    (elem (i32.const 0) func $again)
    (func (export "run") (call $bytes (i64.const 8) (i32.const 0))))
  (core instance $i (instantiate $m (with "mem" (instance $mem)) (with "host" (instance (export "bytes" (func $bytes))))))
  (func (export "run") (canon lift (core func $i "run"))))
