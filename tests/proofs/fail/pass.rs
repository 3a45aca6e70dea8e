//! Only a grant makes a `Pass` for an operation of a guest.
#![allow(unused, unreachable_code)]

use toolgate_policy::capability::{clock, files, http, keyvalue, random, sockets};

fn clock() -> clock::Pass {
    clock::Pass { ..todo!() }
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
