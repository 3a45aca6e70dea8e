//! A plugin is cleared by the policy, and nothing is made ready without that.
use toolgate_policy::load::Clearance;
use toolgate_sandbox::Sandbox;

fn made() -> Clearance {
    Clearance { ..todo!() }
}

fn skipped(sandbox: &Sandbox) {
    let _ = sandbox.prepare(&(), todo!(), todo!(), todo!());
}

fn main() {}
