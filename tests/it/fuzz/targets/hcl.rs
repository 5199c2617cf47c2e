//! Documents: no text may stop the reader, take it long, or mean something else when laid out anew.

use leasehold::base::hcl;
use leasehold::policy::password::PasswordPolicy;
use leasehold::policy::{Acl, NoEntity, Policy};

/// Reads one text as everything that is written in HCL, and checks what must hold.
pub(crate) fn run(bytes: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(policy) = Policy::parse("p", &text) {
        let acl = Acl::new([&policy].into_iter(), &NoEntity);
        for rule in &policy.rules {
            assert!(!acl.capabilities(&rule.path).is_empty());
        }
        seen("policy");
    }
    if let Ok(policy) = PasswordPolicy::parse(&text) {
        assert!((4..=100).contains(&policy.generate().expose().chars().count()));
        seen("password policy");
    }
    let body = match hcl::parse(&text) {
        Ok(body) => body,
        Err(error) => {
            assert!(usize::try_from(error.line()).unwrap() <= text.lines().count() + 1, "{error}");
            assert!(!error.message().is_empty());
            return seen("refused");
        }
    };
    seen("document");
    let said = body.to_json();
    // The same in the other notation.
    assert_eq!(hcl::parse(&said.to_string()).unwrap().to_json(), said);
    if hcl::is_json(&text) {
        assert!(hcl::fmt(&text).is_err());
        return seen("JSON");
    }
    let laid_out = hcl::fmt(&text).unwrap();
    assert_eq!(hcl::parse(&laid_out).unwrap_or_else(|error| panic!("{text:?} → {laid_out:?}: {error}")).to_json(), said);
    assert_eq!(hcl::fmt(&laid_out).unwrap(), laid_out, "{text:?}");
}
