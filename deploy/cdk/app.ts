import { App } from 'aws-cdk-lib';
import { EnforcerStack } from './enforcer.js';

const app = new App();
new EnforcerStack(app, 'kinesis-encryption-enforcer', {
  template: '../../target/deploy/template.cfn.json',
  package: '../../target/lambda/bootstrap/bootstrap.zip',
  parameters: { KmsKeyId: 'alias/streams', Mode: 'audit' },
});
app.synth();
