//! Only a grant makes a `Pass` for its texts.
#![allow(unused, unreachable_code)]

use toolgate_policy::capability::{config, environment};

fn config<'a>() -> config::Pass<'a> {
    config::Pass(todo!())
}

fn environment<'a>() -> environment::Pass<'a> {
    environment::Pass(todo!())
}

fn main() {}
