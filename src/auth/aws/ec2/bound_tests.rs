//! Each bound of a role, wrong one at a time.

use serde_json::{Value, json};

use super::rig::{IMAGE, INSTANCE, Scene, is, refusal_of};
use crate::aws::sandbox::Machine;

const PROFILE: &str = "arn:aws:iam::123456789012:instance-profile/team/web";

fn machine() -> Machine {
    let mut machine = Machine::running(INSTANCE, IMAGE);
    (machine.vpc, machine.subnet) = ("vpc-1".to_owned(), "subnet-1".to_owned());
    machine.profile = PROFILE.to_owned();
    machine
}

async fn scene() -> Scene {
    let scene = Scene::bare().await;
    scene.sandbox.put_instance(machine());
    scene
}

fn right() -> Value {
    json!({
        "auth_type": "ec2", "bound_ami_id": ["ami-0", IMAGE], "bound_account_id": "123456789012", "bound_region": "eu-central-1",
        "bound_vpc_id": "vpc-1", "bound_subnet_id": "subnet-0,subnet-1", "bound_ec2_instance_id": INSTANCE,
        "bound_iam_instance_profile_arn": PROFILE,
    })
}

async fn with(scene: &Scene, field: &str, value: &str) -> (String, String) {
    let mut role = right();
    role[field] = json!(value);
    scene.bench.post("role/web", role).await.is_empty();
    match scene.login(json!({})).await {
        Ok(_) => ("ok".to_owned(), String::new()),
        refused => refusal_of(refused),
    }
}

#[tokio::test]
async fn each_bound_has_its_words() {
    let scene = scene().await;
    scene.bench.post("role/web", right()).await.is_empty();
    scene.login(json!({})).await.unwrap();
    for (field, value, code, text) in [
        (
            "bound_region",
            "eu-west-1",
            "bound_mismatch",
            "Region \"eu-central-1\" does not satisfy the constraint on role \"web\"",
        ),
        (
            "bound_ec2_instance_id",
            "i-0b",
            "bound_mismatch",
            "Error validating instance: instance ID \"i-0a\" does not belong to the role \"web\"",
        ),
        ("bound_account_id", "1", "account_not_bound", "account ID \"123456789012\" does not belong to role \"web\""),
        ("bound_ami_id", "ami-2", "bound_mismatch", "AMI ID \"ami-1\" does not belong to role \"web\""),
        (
            "bound_subnet_id",
            "subnet-2",
            "bound_mismatch",
            "subnet ID \"subnet-1\" does not satisfy the constraint on role \"web\"",
        ),
        ("bound_vpc_id", "vpc-2", "bound_mismatch", "VPC ID \"vpc-1\" does not satisfy the constraint on role \"web\""),
        (
            "bound_iam_instance_profile_arn",
            "arn:aws:iam::123456789012:instance-profile/team/we",
            "bound_mismatch",
            "IAM instance profile ARN \"arn:aws:iam::123456789012:instance-profile/team/web\" does not satisfy the constraint role",
        ),
    ] {
        let told = with(&scene, field, value).await;
        assert!(is(&told, code, text), "{field}: {told:?}");
        // What the role holds is not told.
        assert!(!told.1.contains(value) || PROFILE.contains(value), "{told:?}");
    }
}

#[tokio::test]
async fn only_a_star_at_the_end_of_a_profile_stands_for_anything() {
    let scene = scene().await;
    let profile = "bound_iam_instance_profile_arn";
    let arn = "arn:aws:iam::123456789012:instance-profile";
    for (pattern, fits) in [
        (PROFILE.to_owned(), true),
        (format!("{arn}/team/*"), true),
        (format!("{arn}/team/w"), false),
        (format!("{arn}/*/web"), false),
    ] {
        assert_eq!(with(&scene, profile, &pattern).await.0 == "ok", fits, "{pattern}");
    }
}

#[tokio::test]
async fn what_the_instance_has_not_cannot_satisfy_a_bound() {
    let scene = scene().await;
    scene.bench.post("role/web", right()).await.is_empty();
    for (strip, text) in [
        ((|machine: &mut Machine| machine.subnet.clear()) as fn(&mut Machine), "subnet ID in the instance description is nil"),
        (|machine| machine.vpc.clear(), "VPC ID in the instance description is nil"),
        (|machine| machine.profile.clear(), "IAM instance profile in the instance description is nil"),
    ] {
        let mut bare = machine();
        strip(&mut bare);
        scene.sandbox.put_instance(bare);
        let told = scene.refused(json!({})).await;
        assert!(is(&told, "bound_mismatch", text), "{told:?}");
    }
}

#[tokio::test]
async fn the_role_of_the_profile_is_asked_for() {
    let scene = scene().await;
    let role = "arn:aws:iam::123456789012:role/app";
    let bound = |arn: &str| json!({ "auth_type": "ec2", "bound_iam_role_arn": arn });
    scene.bench.post("role/web", bound(role)).await.is_empty();
    // Nobody knows the profile.
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "server_permission", "IAM role ARN could not be fetched"), "{told:?}");
    let profile = [("InstanceProfileName", "web"), ("Path", "/team/")];
    scene.sandbox.prepare("CreateInstanceProfile", &profile).unwrap();
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "bound_mismatch", "IAM role ARN could not be fetched"), "{told:?}");
    scene.sandbox.create_role("app", None, &[]).unwrap();
    let add = [("InstanceProfileName", "web"), ("RoleName", "app")];
    scene.sandbox.prepare("AddRoleToInstanceProfile", &add).unwrap();
    scene.login(json!({})).await.unwrap();
    for (pattern, fits) in [("arn:aws:iam::123456789012:role/*", true), ("arn:aws:iam::123456789012:role/ap", false)] {
        scene.bench.post("role/web", bound(pattern)).await.is_empty();
        let result = scene.login(json!({})).await;
        assert_eq!(result.is_ok(), fits, "{pattern}");
        if !fits {
            let told = refusal_of(result);
            assert!(
                is(&told, "bound_mismatch", "IAM role ARN \"arn:aws:iam::123456789012:role/app\" does not satisfy"),
                "{told:?}"
            );
        }
    }
}
