//! What others do in the account: people, Terraform, a second enforcer.

use std::rc::Rc;
use std::time::Duration;

use aws_sdk_kinesis::types::{EncryptionType, ScalingType};
use tokio::time::sleep;

use kinesis_encryption_enforcer::sandbox::Identity;

use super::plan::{Deed, ENDED, EXEMPT, Key, State};
use super::world::{ALIAS, CONSOLE, FUNCTION, TERRAFORM, WORK, World};

impl World {
    fn kinesis(&self, access_key: &str) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.config(access_key))
    }

    fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config(CONSOLE))
    }

    fn kinesis_of_member(&self) -> Option<aws_sdk_kinesis::Client> {
        let (member, _) = self.member.as_ref()?;
        Some(aws_sdk_kinesis::Client::new(&self.config_in(member, CONSOLE)))
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
            Deed::Flood { stream, in_our_name } => self.flood(&name(stream), in_our_name).await,
            Deed::KeepResharding(stream) => self.keep_resharding(&name(stream)).await,
            Deed::StopOfMember(index) => {
                if let (Some(kinesis), Some(name)) = (self.kinesis_of_member(), self.names_in_member().nth(index)) {
                    stop(&kinesis, &name).await;
                }
            }
            Deed::EndSessions(how) => {
                let (code, message) = ENDED[how];
                self.account.end_sessions(code, message);
                // Something to do there, which a process with a session meets.
                if let Some(kinesis) = self.kinesis_of_member() {
                    for name in self.names_in_member() {
                        stop(&kinesis, &name).await;
                    }
                }
            }
            Deed::SecondEnforcer => self.second_enforcer.set(true),
            Deed::CopyMessage => {
                if let Some(message) = self.account.messages(WORK).first() {
                    self.account.send(WORK, &message.body);
                }
            }
        }
    }

    /// Undoes our work again and again, and hides it behind calls that are denied: so many that the
    /// history of a call, or even that of a session, is too long to be read.
    async fn flood(&self, name: &str, in_our_name: bool) {
        let (by, records) = if in_our_name {
            (Identity::role("mimic", FUNCTION), 1_100)
        } else {
            (Identity::role("deployer", "ci"), 800)
        };
        let kinesis = self.kinesis(CONSOLE);
        for round in 0..6 {
            stop(&kinesis, name).await;
            self.account.flood(&by, if round == 0 { records } else { 100 });
            sleep(Duration::from_secs(self.roll(60..=300))).await;
            if self.calm.get() {
                return;
            }
        }
    }

    async fn keep_resharding(&self, name: &str) {
        let kinesis = self.kinesis(CONSOLE);
        for round in 0..40 {
            let request = kinesis.update_shard_count().stream_name(name).target_shard_count(1 + round % 2);
            drop(request.scaling_type(ScalingType::UniformScaling).send().await);
            sleep(Duration::from_secs(self.roll(20..=200))).await;
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

    /// Everybody rests: keys are made usable again.
    pub(crate) async fn repair(&self) {
        let kms = self.kms();
        for key in [Key::Ours, Key::OfRule, Key::Other] {
            drop(kms.cancel_key_deletion().key_id(&self.keys[&key]).send().await);
            drop(kms.enable_key().key_id(&self.keys[&key]).send().await);
        }
    }

    /// Deletes what can never settle.
    pub(crate) async fn delete_stuck(&self) {
        let kinesis = self.kinesis(CONSOLE);
        for stream in &self.plan.streams {
            if stream.state == State::Stuck {
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
