//! What others do in the account: people, Terraform, a second enforcer.

use std::rc::Rc;
use std::time::Duration;

use aws_sdk_kinesis::types::{EncryptionType, ScalingType};
use tokio::time::sleep;

use super::plan::{Deed, EXEMPT, Key};
use super::world::{ALIAS, CONSOLE, TERRAFORM, WORK, World};

impl World {
    fn kinesis(&self, access_key: &str) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config(access_key))
    }

    fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config(CONSOLE))
    }

    /// Does `deed`. Whether AWS lets it be done is part of the run.
    pub(crate) async fn act(self: Rc<Self>, deed: Deed) {
        self.note(format!("{deed:?}"));
        let name = |index: usize| self.plan.streams[index].name.clone();
        let (kinesis, kms) = (self.kinesis(CONSOLE), self.kms());
        match deed {
            Deed::Stop(stream) => stop(&kinesis, &name(stream)).await,
            Deed::TerraformStop(stream) => stop(&self.kinesis(TERRAFORM), &name(stream)).await,
            Deed::Start(stream, key) => start(&kinesis, &name(stream), &self.keys[&key]).await,
            Deed::StartByAlias(stream) => start(&kinesis, &name(stream), ALIAS).await,
            Deed::Delete(stream) => drop(kinesis.delete_stream().stream_name(name(stream)).send().await),
            Deed::DeleteAndCreate(stream) => {
                let name = name(stream);
                drop(kinesis.delete_stream().stream_name(&name).send().await);
                while self.account.snapshot(&name).is_some_and(|stream| stream.status == "DELETING") {
                    sleep(Duration::from_millis(100)).await;
                }
                drop(kinesis.create_stream().stream_name(&name).shard_count(1).send().await);
            }
            Deed::Reshard(stream) => {
                let request = kinesis.update_shard_count().stream_name(name(stream)).target_shard_count(2);
                drop(request.scaling_type(ScalingType::UniformScaling).send().await);
            }
            Deed::Tag(stream, value) => {
                drop(kinesis.add_tags_to_stream().stream_name(name(stream)).tags(EXEMPT, value).send().await);
            }
            Deed::Untag(stream) => {
                drop(kinesis.remove_tags_from_stream().stream_name(name(stream)).tag_keys(EXEMPT).send().await);
            }
            Deed::DisableKey(key) => drop(kms.disable_key().key_id(&self.keys[&key]).send().await),
            Deed::EnableKey(key) => drop(kms.enable_key().key_id(&self.keys[&key]).send().await),
            Deed::ScheduleDeletion(key) => drop(kms.schedule_key_deletion().key_id(&self.keys[&key]).send().await),
            Deed::Rotate(key) => drop(kms.rotate_key_on_demand().key_id(&self.keys[&key]).send().await),
            Deed::PointAlias(key) => self.point_alias(key).await,
            Deed::DeleteAlias => {
                drop(kms.delete_alias().alias_name(ALIAS).send().await);
                sleep(Duration::from_mins(3)).await;
                self.point_alias(Key::Ours).await;
            }
            Deed::Terraform { name, encrypts } => self.terraform(&name, encrypts).await,
            Deed::SecondEnforcer => self.second_enforcer.set(true),
            Deed::CopyMessage => {
                if let Some(message) = self.account.messages(WORK).first() {
                    self.account.send(WORK, &message.body);
                }
            }
        }
    }

    async fn point_alias(&self, key: Key) {
        let (kms, target) = (self.kms(), &self.keys[&key]);
        // Noted before: as soon as KMS has it, it may be applied.
        let before = self.aliased.borrow().clone();
        self.aliased.borrow_mut().push(target.clone());
        let updated = kms.update_alias().alias_name(ALIAS).target_key_id(target).send().await.is_ok();
        if !updated && kms.create_alias().alias_name(ALIAS).target_key_id(target).send().await.is_err() {
            *self.aliased.borrow_mut() = before;
        }
    }

    /// `terraform apply` of a new stream, in its order.
    async fn terraform(&self, name: &str, encrypts: bool) {
        let kinesis = self.kinesis(TERRAFORM);
        if kinesis.create_stream().stream_name(name).shard_count(1).send().await.is_err() {
            return;
        }
        self.wait_for(name).await;
        drop(kinesis.increase_stream_retention_period().stream_name(name).retention_period_hours(48).send().await);
        self.wait_for(name).await;
        if encrypts {
            start(&kinesis, name, &self.keys[&Key::Ours]).await;
        }
    }

    async fn wait_for(&self, name: &str) {
        sleep(Duration::from_secs(10)).await;
        for _ in 0..40 {
            match self.account.snapshot(name) {
                Some(stream) if stream.status == "ACTIVE" => return,
                _ => sleep(Duration::from_secs(3)).await,
            }
        }
    }

    /// Everybody rests: keys are made usable again, and what can never settle is deleted.
    pub(crate) async fn repair(&self) {
        let (kinesis, kms) = (self.kinesis(CONSOLE), self.kms());
        for key in [Key::Ours, Key::OfRule, Key::Other] {
            drop(kms.cancel_key_deletion().key_id(&self.keys[&key]).send().await);
            drop(kms.enable_key().key_id(&self.keys[&key]).send().await);
        }
        for stream in &self.plan.streams {
            if stream.state == super::plan::State::Stuck {
                drop(kinesis.delete_stream().stream_name(&stream.name).send().await);
            }
        }
    }
}

async fn stop(kinesis: &aws_sdk_kinesis::Client, name: &str) {
    drop(
        kinesis
            .stop_stream_encryption()
            .stream_name(name)
            .encryption_type(EncryptionType::Kms)
            .key_id("alias/aws/kinesis")
            .send()
            .await,
    );
}

async fn start(kinesis: &aws_sdk_kinesis::Client, name: &str, key: &str) {
    drop(
        kinesis
            .start_stream_encryption()
            .stream_name(name)
            .encryption_type(EncryptionType::Kms)
            .key_id(key)
            .send()
            .await,
    );
}
