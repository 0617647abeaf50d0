import { readFileSync } from 'node:fs';
import { Stack, type StackProps, Token, Validations } from 'aws-cdk-lib';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import type { Construct } from 'constructs';

export interface EnforcerProps extends StackProps {
  /** The template without a transform: `make stackset-template` writes target/deploy/template.cfn.json. */
  readonly template: string;
  /** The function's zip: target/lambda/bootstrap/bootstrap.zip of `cargo lambda build --release --arm64 --bin bootstrap --output-format zip`. */
  readonly package: string;
  /** The template's parameters, lists with commas between. What is not given has the template's default. */
  readonly parameters: Readonly<Record<string, string | number>>;
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

// What the CDK warns of when every condition is a constant: it always has the same value, and the same as another; one branch is never taken; and
// what is never made refers to what is never made, or names no resource.
const OF_CONSTANT_CONDITIONS = ['W8003', 'W9053', 'W1028', 'W2503', 'E3510'];

/**
 * The stack of template.yaml, resource by resource, with its parameters filled in.
 *
 * They are filled in here, and not left to CloudFormation, because `cdk deploy` keeps the value that a parameter had: a change in the program
 * would change nothing.
 */
export class EnforcerStack extends Stack {
  public constructor(scope: Construct, id: string, props: EnforcerProps) {
    super(scope, id, props);
    const code = new Asset(this, 'Code', { path: props.package });
    const declared: Record<string, Parameter> = JSON.parse(readFileSync(props.template, 'utf8')).Parameters;
    const given: Record<string, string | number> = { ...props.parameters, CodeBucket: code.s3BucketName, CodeKey: code.s3ObjectKey };
    for (const name of Object.keys(given)) {
      if (!(name in declared)) throw new Error(`the template has no parameter ${name}; it has ${Object.keys(declared).join(', ')}`);
    }

    const parameters: Record<string, unknown> = {};
    for (const [name, parameter] of Object.entries(declared)) {
      const value = given[name] ?? parameter.Default;
      if (value === undefined) throw new Error(`the template wants the parameter ${name}`);
      if (name !== 'CodeBucket' && name !== 'CodeKey') refuse(name, value, parameter);
      parameters[name] = parameter.Type === 'CommaDelimitedList' ? String(value).split(',') : value;
    }
    new CfnInclude(this, 'Template', { templateFile: props.template, parameters });
    for (const id of OF_CONSTANT_CONDITIONS) {
      Validations.of(this).acknowledge({ id: `CloudFormation-Validate::${id}`, reason: 'the conditions of the template are constants here' });
    }
  }
}

/** Throws what CloudFormation would say of the value, which it is not asked any more. */
function refuse(name: string, value: string | number, parameter: Parameter): void {
  const wrong = (why: string): never => {
    throw new Error(`${name} ${why}, and is ${JSON.stringify(value)}`);
  };
  // The template's conditions ask for it, and a condition cannot ask for what is known only when a resource is made.
  if (Token.isUnresolved(value)) throw new Error(`${name} must be known when the program runs, and not a value of another resource`);
  const { AllowedPattern: pattern, AllowedValues: allowed, MinValue: least = -Infinity, MaxValue: most = Infinity } = parameter;
  if (allowed && !allowed.map(String).includes(String(value))) wrong(`must be one of ${allowed.join(', ')}`);
  const values = parameter.Type === 'CommaDelimitedList' ? String(value).split(',') : [String(value)];
  if (pattern && !values.every((one) => new RegExp(`^(?:${pattern})$`).test(one))) wrong(parameter.ConstraintDescription ?? `must match ${pattern}`);
  if (parameter.Type === 'Number' && !(Number(value) >= least && Number(value) <= most)) wrong(`must be between ${least} and ${most}`);
  if (String(value).length > (parameter.MaxLength ?? Infinity)) wrong(`must have at most ${parameter.MaxLength} characters`);
}
