//! Infrastructure-as-code tools, as far as CloudTrail records name them.

/// A tool that creates streams and keeps their settings as its code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IacTool {
    /// Terraform or `OpenTofu`: the same provider.
    Terraform,
    /// Pulumi.
    Pulumi,
    /// `CloudFormation`, which also puts its name where the source address and `invokedBy` belong.
    CloudFormation,
}

/// What a user agent, a source address or a principal contains, in lower case, where a tool made
/// the call.
const MARKS: [(&str, IacTool); 4] = [
    ("terraform/", IacTool::Terraform),
    ("opentofu/", IacTool::Terraform),
    ("pulumi", IacTool::Pulumi),
    ("cloudformation.amazonaws.com", IacTool::CloudFormation),
];

impl IacTool {
    /// The tool that `text`, a user agent or the like, names.
    #[must_use]
    pub fn named_in(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        MARKS.into_iter().find(|(mark, _)| text.contains(mark)).map(|(_, tool)| tool)
    }
}
