//! Only the judge makes a `Permit`, and the sandbox runs no call without one.
use toolgate_policy::Principal;
use toolgate_policy::call::{Permit, Target};
use toolgate_sandbox::{Call, Sandbox};

fn made() -> Permit {
    Permit { ..todo!() }
}

fn caller() -> Principal {
    Principal { ..todo!() }
}

fn target() -> Target {
    Target { ..todo!() }
}

fn skipped(sandbox: &Sandbox, call: Call<()>) {
    let _ = sandbox.call(&(), todo!(), Vec::new(), call);
}

fn main() {}
