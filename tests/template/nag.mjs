// Prints what cdk-nag's AwsSolutionsChecks find in a CloudFormation template, as JSON: [[rule, logical id], …]. What the template's Metadata
// accepts is not taken out: scan.py holds the two against each other.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, CfnResource, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { AwsSolutionsChecks } from 'cdk-nag';

const outdir = mkdtempSync(join(tmpdir(), 'nag-'));
try {
  const app = new App({ outdir, analyticsReporting: false });
  const stack = new Stack(app, 'Stack');
  const template = new CfnInclude(stack, 'Template', { templateFile: process.argv[2] });
  const logicalIds = new Map(
    template.node.findAll().filter(CfnResource.isCfnResource).map((resource) => [resource.node.path, stack.resolve(resource.logicalId)]),
  );
  const { violations } = new AwsSolutionsChecks(app).validateScope(app);
  const found = violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => [ruleName, logicalIds.get(constructPath) ?? constructPath]),
  );
  console.log(JSON.stringify(found));
} finally {
  rmSync(outdir, { recursive: true });
}
