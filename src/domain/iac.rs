//! Infrastructure-as-code tools, as far as CloudTrail records name them.

/// A tool that creates streams and keeps their settings as its code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IacTool {
    /// Terraform or `OpenTofu`: the same provider.
    Terraform,
    /// Pulumi.
    Pulumi,
    /// `CloudFormation`, which also puts its name where the source address and `invokedBy` belong.
    /// AWS CDK, AWS SAM and the Serverless Framework deploy with it.
    CloudFormation,
    /// Cloud Control API, which Terraform's `awscc` provider and others call.
    CloudControl,
    /// Ansible's AWS modules.
    Ansible,
    /// Crossplane's AWS providers.
    Crossplane,
    /// AWS Controllers for Kubernetes.
    Ack,
}

/// What a user agent, a source address or a principal contains, in lower case, where a tool made
/// the call.
///
/// Crossplane comes first: its providers may be made of Terraform's, and name it, too.
const MARKS: [(&str, IacTool); 9] = [
    ("crossplane", IacTool::Crossplane),
    ("upbound", IacTool::Crossplane),
    ("terraform/", IacTool::Terraform),
    ("opentofu/", IacTool::Terraform),
    ("pulumi", IacTool::Pulumi),
    ("cloudformation.amazonaws.com", IacTool::CloudFormation),
    ("cloudcontrolapi.amazonaws.com", IacTool::CloudControl),
    ("ansible/", IacTool::Ansible),
    ("aws-controllers-k8s/", IacTool::Ack),
];

impl IacTool {
    /// The tool that `text`, a user agent or the like, names.
    #[must_use]
    pub fn named_in(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        MARKS.into_iter().find(|(mark, _)| text.contains(mark)).map(|(_, tool)| tool)
    }
}
