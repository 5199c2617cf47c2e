//! Where requests may go: hosts of the AWS partitions, and those an operator named.

use http::Uri;

/// What a request's target is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    /// Scheme, host and port as the operator wrote them, in lower case.
    named: Vec<Place>,
    /// Also the addresses where AWS gives credentials to its machines and containers.
    metadata: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    is_secure: bool,
    host: String,
    port: u16,
}

impl Hosts {
    /// The partitions, and where these URLs point. What is no URL allows nothing.
    pub(super) fn new<'u>(urls: impl IntoIterator<Item = &'u str>) -> Self {
        Self { named: urls.into_iter().filter_map(|url| place(&url.parse().ok()?)).collect(), metadata: false }
    }

    /// And where AWS gives credentials to its machines and containers.
    pub(super) fn with_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }

    /// Whether a request may go there. To AWS itself only over TLS.
    pub(super) fn allow(&self, target: &Uri) -> bool {
        let Some(place) = place(target) else { return false };
        self.named.contains(&place)
            || (place.is_secure && place.port == 443 && is_of_aws(&place.host))
            || (self.metadata && METADATA.contains(&place.host.as_str()))
    }
}

/// The account's own partition is in each ARN; this is only about names of hosts.
fn is_of_aws(host: &str) -> bool {
    SUFFIXES.iter().any(|suffix| host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')))
}

fn place(uri: &Uri) -> Option<Place> {
    let is_secure = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    Some(Place { is_secure, host, port })
}

/// Names that end in these are AWS's, one or two for each partition.
const SUFFIXES: &[&str] = &[
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
];

/// Instance metadata, ECS, EKS pod identity, and loopback, where side-cars of that kind listen.
const METADATA: &[&str] = &[
    "169.254.169.254",
    "[fd00:ec2::254]",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "127.0.0.1",
    "[::1]",
    "localhost",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &Hosts, url: &str) -> bool {
        hosts.allow(&url.parse().unwrap())
    }

    #[test]
    fn hosts_of_the_partitions_are_allowed_over_tls() {
        let hosts = Hosts::new([]);
        assert!(allows(&hosts, "https://iam.amazonaws.com/"));
        assert!(allows(&hosts, "https://sts.eu-central-1.amazonaws.com"));
        assert!(allows(&hosts, "https://iam.cn-north-1.amazonaws.com.cn/"));
        assert!(!allows(&hosts, "http://iam.amazonaws.com/"));
        assert!(!allows(&hosts, "https://iam.amazonaws.com:8443/"));
    }

    #[test]
    fn names_that_only_look_like_aws_are_not_allowed() {
        let hosts = Hosts::new([]);
        for url in [
            "https://evilamazonaws.com/",
            "https://amazonaws.com.evil.org/",
            "https://.amazonaws.com/",
            "https://iam.amazonaws.com@evil.org/",
            "https://169.254.169.254/",
        ] {
            assert!(url.parse::<Uri>().map_or(true, |uri| !hosts.allow(&uri)), "{url}");
        }
    }

    #[test]
    fn a_named_endpoint_is_allowed_exactly() {
        let hosts = Hosts::new(["http://localhost:4566", "not a url"]);
        assert!(allows(&hosts, "http://LOCALHOST:4566/some/path"));
        assert!(!allows(&hosts, "http://localhost:4567/"));
        assert!(!allows(&hosts, "https://localhost:4566/"));
    }

    #[test]
    fn metadata_addresses_are_for_the_credential_chain_alone() {
        assert!(!allows(&Hosts::new([]), "http://169.254.169.254/latest"));
        assert!(allows(&Hosts::new([]).with_metadata(), "http://169.254.169.254/latest"));
        assert!(allows(&Hosts::new([]).with_metadata(), "http://[fd00:ec2::254]/latest"));
    }
}
