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

/// A region that has an STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StsRegion {
    name: &'static str,
    partition: Partition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partition {
    Aws,
    GovCloud,
    China,
}

impl StsRegion {
    /// The region of this name, if there is one: the text selects, and never becomes part of anything.
    pub fn find(name: &str) -> Option<Self> {
        let in_partition = |(partition, names): &(Partition, &[&'static str])| {
            names.iter().find(|own| **own == name).map(|own| Self { name: own, partition: *partition })
        };
        REGIONS.iter().find_map(in_partition)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        REGIONS.iter().flat_map(|(partition, names)| names.iter().map(|name| Self { name, partition: *partition }))
    }

    /// Such as `eu-west-1`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The names of its STS: the usual one, with FIPS, dual-stack; of the oldest region the global one too.
    pub fn hosts(self) -> Vec<String> {
        let name = self.name;
        let mut hosts = match self.partition {
            Partition::Aws | Partition::GovCloud => vec![format!("sts.{name}.amazonaws.com"), format!("sts.{name}.api.aws")],
            Partition::China => {
                vec![format!("sts.{name}.amazonaws.com.cn"), format!("sts.{name}.api.amazonwebservices.com.cn")]
            }
        };
        if self.partition == Partition::Aws && name.starts_with("us-") {
            hosts.extend([format!("sts-fips.{name}.amazonaws.com"), format!("sts-fips.{name}.api.aws")]);
        }
        if name == GLOBAL_REGION {
            hosts.push(GLOBAL_STS.to_owned());
        }
        hosts
    }

    /// The region whose STS has this name.
    pub fn of_host(host: &str) -> Option<Self> {
        Self::all().find(|region| region.hosts().iter().any(|own| own == host))
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

/// The region that the name without a region belongs to.
const GLOBAL_REGION: &str = "us-east-1";
const GLOBAL_STS: &str = "sts.amazonaws.com";

/// Regions with an STS (AWS General Reference, "AWS Security Token Service endpoints and quotas").
const REGIONS: &[(Partition, &[&str])] = &[
    (
        Partition::Aws,
        &[
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
        ],
    ),
    (Partition::GovCloud, &["us-gov-east-1", "us-gov-west-1"]),
    (Partition::China, &["cn-north-1", "cn-northwest-1"]),
];

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
    fn an_sts_belongs_to_one_region_and_its_hosts_are_of_aws() {
        let region_of = |host: &str| StsRegion::of_host(host).map(StsRegion::name);
        assert_eq!(region_of("sts.amazonaws.com"), Some("us-east-1"));
        assert_eq!(region_of("sts.us-west-2.amazonaws.com"), Some("us-west-2"));
        assert_eq!(region_of("sts-fips.us-west-2.api.aws"), Some("us-west-2"));
        assert_eq!(region_of("sts.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(region_of("sts.us-gov-east-1.amazonaws.com"), Some("us-gov-east-1"));
        for host in ["sts.cn-north-1.amazonaws.com", "sts-fips.eu-west-1.amazonaws.com", "sts.evil.org", "", "sts.us-west-2"] {
            assert_eq!(region_of(host), None, "{host}");
        }
        for name in ["ap-northeast-3", "evil.com#", "", "us-east-1.evil", "US-EAST-1"] {
            assert_eq!(StsRegion::find(name).is_some(), name == "ap-northeast-3", "{name}");
        }
        for region in StsRegion::all() {
            assert!(region.hosts().iter().all(|host| is_of_aws(host)), "{region:?}");
        }
    }

    #[test]
    fn metadata_addresses_are_for_the_credential_chain_alone() {
        assert!(!allows(&Hosts::new([]), "http://169.254.169.254/latest"));
        assert!(allows(&Hosts::new([]).with_metadata(), "http://169.254.169.254/latest"));
        assert!(allows(&Hosts::new([]).with_metadata(), "http://[fd00:ec2::254]/latest"));
    }
}
