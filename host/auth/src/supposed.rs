//! A caller that is made up, for questions about rules.

use toolgate_policy::Principal;
use toolgate_policy::principal::CallerIdentity;

/// A caller as if a credential had said this of it. For questions alone, such as `toolgate policy explain`: no credential
/// was verified, so it must never come near a call.
#[expect(clippy::disallowed_methods, reason = "only questions about rules are asked for it, no call is made")]
pub fn supposed(identity: CallerIdentity) -> Principal {
    Principal::identified(identity)
}
