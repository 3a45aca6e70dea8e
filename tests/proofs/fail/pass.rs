//! Only a grant makes a `Pass` for an operation of a guest.
#![allow(unused, unreachable_code)]

use toolgate_policy::capability::{clock, config, environment, files, http, keyvalue, random, sockets};

fn clock() -> clock::Pass {
    clock::Pass { ..todo!() }
}

fn config<'a>() -> config::Pass<'a> {
    config::Pass(todo!())
}

fn environment<'a>() -> environment::Pass<'a> {
    environment::Pass(todo!())
}

fn files() -> files::Pass {
    files::Pass { ..todo!() }
}

fn http() -> http::Pass {
    http::Pass { ..todo!() }
}

fn keyvalue<'a>() -> keyvalue::Pass<'a> {
    keyvalue::Pass { ..todo!() }
}

fn random() -> random::Pass {
    random::Pass { ..todo!() }
}

fn sockets() -> sockets::Pass {
    sockets::Pass { ..todo!() }
}

fn main() {}
