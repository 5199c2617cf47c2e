//! What EC2 answers, taken out of its XML (EC2 API reference, `DescribeInstances`, "Error responses"). What is not looked for is
//! passed over.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ec2::{DESCRIBE, Instance};
use super::error::AwsError;

/// One page of instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) instances: Vec<Instance>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

/// A refusal. Empty where nothing was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: String,
}

impl Described {
    pub(super) fn read(body: &[u8]) -> Result<Self, AwsError> {
        let page: Page =
            parse(body).ok_or_else(|| AwsError::Unknown { text: format!("{DESCRIBE}: the answer cannot be read") })?;
        let owned = page.reservations.item.into_iter().flat_map(|reservation| {
            let owner = reservation.owner_id;
            reservation.instances.item.into_iter().map(move |instance| instance.known(&owner))
        });
        Ok(Self { instances: owned.collect(), next: Some(page.next_token).filter(|next| !next.is_empty()) })
    }
}

/// A body that is no refusal gives an empty one.
pub(super) fn read_failure(body: &[u8]) -> Failure {
    let Some(failed) = parse::<Failed>(body) else { return Failure::default() };
    let error = failed.errors.and_then(|errors| errors.error.into_iter().next()).or(failed.error).unwrap_or_default();
    let cut = |text: String| text.chars().take(LONGEST).collect();
    Failure {
        code: cut(error.code),
        message: cut(error.message),
        request_id: cut(failed.request_id.or(failed.request_id_too).unwrap_or_default()),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "reservationSet")]
    reservations: Set<Reservation>,
    #[serde(rename = "nextToken", default)]
    next_token: String,
}

/// Lists of EC2 have `item`s; where there are none the element may be missing.
#[derive(Deserialize)]
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Deserialize)]
struct Reservation {
    #[serde(rename = "ownerId", default)]
    owner_id: String,
    #[serde(rename = "instancesSet", default)]
    instances: Set<Machine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    image_id: String,
    #[serde(default)]
    instance_state: State,
    #[serde(default)]
    private_dns_name: String,
    #[serde(default)]
    vpc_id: String,
    #[serde(default)]
    subnet_id: String,
    #[serde(default)]
    iam_instance_profile: Profile,
    #[serde(default)]
    tag_set: Set<Tag>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
struct Profile {
    #[serde(default)]
    arn: String,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

impl Machine {
    fn known(self, owner: &str) -> Instance {
        Instance {
            id: self.instance_id,
            state: self.instance_state.name,
            image: self.image_id,
            owner: owner.to_owned(),
            vpc: self.vpc_id,
            subnet: self.subnet_id,
            profile_arn: self.iam_instance_profile.arn,
            private_dns: self.private_dns_name,
            tags: self.tag_set.item.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "Errors")]
    errors: Option<Errors>,
    #[serde(rename = "Error")]
    error: Option<Failing>,
    #[serde(rename = "RequestID")]
    request_id: Option<String>,
    #[serde(rename = "RequestId")]
    request_id_too: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(rename = "Error", default)]
    error: Vec<Failing>,
}

#[derive(Default, Deserialize)]
struct Failing {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// Characters kept of what is shown to people.
const LONGEST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><reservationSet><item>
<reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item><instanceId>i-1</instanceId>
<imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState><vpcId>vpc-1</vpcId>
<networkInterfaceSet><item><vpcId>vpc-other</vpcId></item></networkInterfaceSet><subnetId>subnet-1</subnetId>
<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/web</arn><id>A</id></iamInstanceProfile>
<tagSet><item><key>a &amp; b</key><value/></item><item><key>c</key><value> d </value></item></tagSet></item></instancesSet></item>
</reservationSet><nextToken>more</nextToken></DescribeInstancesResponse>"#;

    #[test]
    fn what_matters_of_an_instance_is_taken_out() {
        let described = Described::read(PAGE.as_bytes()).unwrap();
        let instance = &described.instances[0];
        assert_eq!((instance.id.as_str(), instance.state.as_str(), instance.image.as_str()), ("i-1", "running", "ami-1"));
        assert_eq!((instance.owner.as_str(), instance.vpc.as_str()), ("123456789012", "vpc-1"));
        assert_eq!(instance.subnet, "subnet-1");
        assert_eq!(instance.profile_arn, "arn:aws:iam::123456789012:instance-profile/web");
        assert_eq!(instance.tags.get("a & b").map(String::as_str), Some(""));
        assert_eq!(described.next.as_deref(), Some("more"));
    }

    #[test]
    fn nothing_found_is_an_empty_page_and_another_page_is_none() {
        let empty = Described::read(b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>").unwrap();
        assert_eq!(empty, Described { instances: Vec::new(), next: None });
        for body in ["<html><body>login</body></html>", "", "junk", "<DescribeInstancesResponse><reservationSet>"] {
            assert!(Described::read(body.as_bytes()).unwrap_err().may_have_happened(), "{body}");
        }
    }

    #[test]
    fn refusals_have_a_code_words_and_the_name_of_the_call() {
        let body = "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>C</Code><Message>m</Message></Error></Errors>\
                    <RequestID>r</RequestID></Response>";
        let read = read_failure(body.as_bytes());
        assert_eq!((read.code.as_str(), read.message.as_str(), read.request_id.as_str()), ("C", "m", "r"));
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>C</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>";
        assert_eq!(read_failure(body.as_bytes()), read);
        assert_eq!(read_failure(b"gateway timeout"), Failure::default());
    }
}
