// The stack of deploy/cdk with other parameters than its app.ts, and with parameters that it must refuse. Prints what each refusal said.
import { App, Aws } from 'aws-cdk-lib';
import { type EnforcerParameters, EnforcerStack } from './enforcer.js';

const files = { template: '../../target/deploy/template.cfn.json', package: '../../target/lambda/bootstrap/bootstrap.zip' };
const app = new App({ analyticsReporting: false, autoSynth: false });
new EnforcerStack(app, 'Other', { ...files, parameters: JSON.parse(process.argv[2]!) });
app.synth();

const KmsKeyId = 'alias/streams';
const Mode = 'audit';
// The compiler refuses a stack without a mode.
// @ts-expect-error
const withoutMode: EnforcerParameters = { KmsKeyId };

const refused: [string, Record<string, string | number>][] = [
  ['pattern', { KmsKeyId: 'streams', Mode }],
  ['pattern of a list', { KmsKeyId, Mode, KmsKeyArns: 'alias/streams' }],
  ['allowed values', { KmsKeyId, Mode: 'Audit' }],
  ['least', { KmsKeyId, Mode, Timeout: 29 }],
  ['most', { KmsKeyId, Mode, Timeout: 901 }],
  ['no number', { KmsKeyId, Mode, Timeout: 'long' }],
  ['length', { KmsKeyId, Mode, Policy: ' '.repeat(3073) }],
  ['unknown', { KmsKeyId, Mode, Modes: 'audit' }],
  ['no key', { Mode }],
  ['no mode', withoutMode],
  ['token', { KmsKeyId: `arn:aws:kms:us-east-1:${Aws.ACCOUNT_ID}:key/1234abcd-12ab-34cd-56ef-1234567890ab`, Mode }],
];
const said = refused.map(([name, given]) => {
  try {
    new EnforcerStack(new App({ analyticsReporting: false, autoSynth: false }), 'Refused', { ...files, parameters: given as EnforcerParameters });
    return [name, null];
  } catch (error) {
    return [name, (error as Error).message];
  }
});
console.log(JSON.stringify(said));
