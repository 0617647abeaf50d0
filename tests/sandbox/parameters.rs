//! Parameters of Parameter Store.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;

use super::support::{REGION, World, refused, sdk_config};

fn client(world: &World) -> Client {
    Client::new(&sdk_config(&world.clock, world.account.http_client(), REGION, "AKIAIOSFODNN7EXAMPLE"))
}

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>,
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>.
#[tokio::test(start_paused = true)]
async fn a_parameter_has_versions_and_is_replaced_only_on_request() {
    let world = World::new();
    let ssm = client(&world);
    let put = |value: &str| ssm.put_parameter().name("state").value(value);
    let created = put("one").r#type(ParameterType::String).send().await.unwrap();
    assert_eq!(created.version, 1);
    let (code, _) = refused(&put("two").send().await.unwrap_err());
    assert_eq!(code, "ParameterAlreadyExists");
    assert_eq!(put("two").overwrite(true).send().await.unwrap().version, 2);
    for (name, value, version) in [("state", "two", 2), ("state:1", "one", 1), ("state:2", "two", 2)] {
        let found = ssm.get_parameter().name(name).send().await.unwrap().parameter.unwrap();
        assert_eq!((found.value.as_deref(), found.version), (Some(value), version), "{name}");
    }
    for (name, code) in [("state:3", "ParameterVersionNotFound"), ("nothing", "ParameterNotFound")] {
        assert_eq!(refused(&ssm.get_parameter().name(name).send().await.unwrap_err()).0, code);
    }
    let too_long = put(&"x".repeat(4097)).overwrite(true).send().await.unwrap_err();
    assert_eq!(refused(&too_long).0, "ValidationException");
    let without_type = ssm.put_parameter().name("other").value("x").send().await.unwrap_err();
    assert_eq!(refused(&without_type).0, "ValidationException");
}
