//! Only the policy makes a `Clearance`, and the sandbox prepares no plugin without one.
use toolgate_policy::load::Clearance;
use toolgate_sandbox::Sandbox;

fn made() -> Clearance {
    Clearance { ..todo!() }
}

fn skipped(sandbox: &Sandbox) {
    let _ = sandbox.prepare(&(), todo!(), todo!(), todo!());
}

fn main() {}
