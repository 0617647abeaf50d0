// The stack of deploy/cdk with other parameters than its app.ts, and with parameters that it must refuse. Prints what each refusal said.
import { App, Aws } from 'aws-cdk-lib';
import { EnforcerStack } from './enforcer.js';

const files = { template: '../../target/deploy/template.cfn.json', package: '../../target/lambda/bootstrap/bootstrap.zip' };
const app = new App({ analyticsReporting: false, autoSynth: false });
new EnforcerStack(app, 'Other', { ...files, parameters: JSON.parse(process.argv[2]!) });
app.synth();

const KmsKeyId = 'alias/streams';
const refused: [string, Record<string, string | number>][] = [
  ['pattern', { KmsKeyId: 'streams' }],
  ['pattern of a list', { KmsKeyId, KmsKeyArns: 'alias/streams' }],
  ['allowed values', { KmsKeyId, Mode: 'Audit' }],
  ['least', { KmsKeyId, Timeout: 29 }],
  ['most', { KmsKeyId, Timeout: 901 }],
  ['no number', { KmsKeyId, Timeout: 'long' }],
  ['length', { KmsKeyId, Policy: ' '.repeat(3073) }],
  ['unknown', { KmsKeyId, Modes: 'audit' }],
  ['missing', {}],
  ['token', { KmsKeyId: `arn:aws:kms:us-east-1:${Aws.ACCOUNT_ID}:key/1234abcd-12ab-34cd-56ef-1234567890ab` }],
];
const said = refused.map(([name, given]) => {
  try {
    new EnforcerStack(new App({ analyticsReporting: false, autoSynth: false }), 'Refused', { ...files, parameters: given });
    return [name, null];
  } catch (error) {
    return [name, (error as Error).message];
  }
});
console.log(JSON.stringify(said));
