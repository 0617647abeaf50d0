import { readFileSync } from 'node:fs';
import { Stack, type StackProps, Token, Validations } from 'aws-cdk-lib';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import type { Construct } from 'constructs';

export interface EnforcerProps extends StackProps {
  /**
   * Path of the template without the SAM transform.
   * `make stackset-template` writes target/deploy/template.cfn.json.
   */
  readonly template: string;
  /**
   * Path of the function's zip file.
   * `cargo lambda build --release --arm64 --bin bootstrap --output-format zip` writes
   * target/lambda/bootstrap/bootstrap.zip.
   */
  readonly package: string;
  /**
   * Parameters of the template. Lists are separated by commas.
   * `KmsKeyId` and `Mode` are required; any other that is not set has the template's default.
   */
  readonly parameters: EnforcerParameters;
}

export interface EnforcerParameters {
  readonly KmsKeyId: string;
  /**
   * `audit`: the function only reports what it would do. `enforce`: it encrypts streams.
   * Begin with `audit`.
   */
  readonly Mode: 'audit' | 'enforce';
  readonly [name: string]: string | number;
}

interface Parameter {
  Type: string;
  Default?: string | number;
  AllowedPattern?: string;
  AllowedValues?: (string | number)[];
  ConstraintDescription?: string;
  MinValue?: number;
  MaxValue?: number;
  MaxLength?: number;
}

// Warnings of the CDK that occur because every condition is a constant here: a condition always has
// the same value, or the same value as another; a branch is never taken; or a resource that is not
// created refers to one that is not created either, or to none.
const OF_CONSTANT_CONDITIONS = ['W8003', 'W9053', 'W1028', 'W2503', 'E3510'];
// The warning of the CDK that a string is given where CloudFormation expects a number.
const OF_NUMBERS_AS_STRINGS = 'W9003';

/**
 * The resources of template.yaml, with the values of its parameters.
 *
 * The values are set here and not as parameters of the stack, because `cdk deploy` reuses the
 * previous values of parameters: a change in the app would have no effect.
 */
export class EnforcerStack extends Stack {
  public constructor(scope: Construct, id: string, props: EnforcerProps) {
    super(scope, id, props);
    const code = new Asset(this, 'Code', { path: props.package });
    const declared: Record<string, Parameter> = JSON.parse(readFileSync(props.template, 'utf8')).Parameters;
    const given: Record<string, string | number> = {
      ...props.parameters,
      CodeBucket: code.s3BucketName,
      CodeKey: code.s3ObjectKey,
    };
    for (const name of Object.keys(given)) {
      if (name in declared) continue;
      throw new Error(`unknown parameter ${name}: must be one of ${Object.keys(declared).join(', ')}`);
    }

    const parameters: Record<string, unknown> = {};
    for (const [name, parameter] of Object.entries(declared)) {
      const value = given[name] ?? parameter.Default;
      if (value === undefined) throw new Error(`missing parameter ${name}: it has no default`);
      if (name !== 'CodeBucket' && name !== 'CodeKey') refuse(name, value, parameter);
      parameters[name] = parameter.Type === 'CommaDelimitedList' ? String(value).split(',') : value;
    }
    new CfnInclude(this, 'Template', { templateFile: props.template, parameters });
    for (const id of OF_CONSTANT_CONDITIONS) {
      Validations.of(this).acknowledge({
        id: `CloudFormation-Validate::${id}`,
        reason: 'All conditions of the template are constants here.',
      });
    }
    Validations.of(this).acknowledge({
      id: `CloudFormation-Validate::${OF_NUMBERS_AS_STRINGS}`,
      reason: 'Numbers that may be empty are parameters of type String. Their patterns accept only numbers.',
    });
  }
}

/** Rejects a value that CloudFormation would reject as a parameter. */
function refuse(name: string, value: string | number, parameter: Parameter): void {
  const wrong = (why: string): never => {
    throw new Error(`${name} ${why}, but is ${JSON.stringify(value)}`);
  };
  // Conditions of the template use the value, and a condition cannot depend on a resource.
  if (Token.isUnresolved(value)) {
    throw new Error(`${name} must be known at synthesis: it cannot be an attribute of another resource`);
  }
  const { AllowedPattern: pattern, AllowedValues: allowed, ConstraintDescription: constraint } = parameter;
  const { MinValue: least = -Infinity, MaxValue: most = Infinity, MaxLength: longest = Infinity } = parameter;
  if (allowed && !allowed.map(String).includes(String(value))) wrong(`must be one of ${allowed.join(', ')}`);
  const values = parameter.Type === 'CommaDelimitedList' ? String(value).split(',') : [String(value)];
  if (pattern && !values.every((one) => new RegExp(`^(?:${pattern})$`).test(one))) {
    wrong(constraint ?? `must match ${pattern}`);
  }
  if (parameter.Type === 'Number' && !(Number(value) >= least && Number(value) <= most)) {
    wrong(`must be between ${least} and ${most}`);
  }
  if (String(value).length > longest) wrong(`must have at most ${longest} characters`);
}
