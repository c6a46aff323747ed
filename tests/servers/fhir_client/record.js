// What fhir-kit-client does with a record: ITI-65, ITI-67, ITI-68. Tells what it saw as one line of JSON.
import { Client } from 'fhir-kit-client';
import { readFileSync } from 'node:fs';

const [base, token, bundleFile, patient] = process.argv.slice(2);
const client = new Client({ baseUrl: base, bearerToken: token });
const sent = await client.transaction({ body: JSON.parse(readFileSync(bundleFile, 'utf8')) });
const found = await client.search({
  resourceType: 'DocumentReference',
  searchParams: { 'patient.identifier': patient, status: 'current', _count: 1 },
});
const next = await client.nextPage({ bundle: found });
const [kind, id] = found.entry[0].resource.content[0].attachment.url.split('/');
const binary = await client.read({ resourceType: kind, id, options: { headers: { Accept: 'application/fhir+json' } } });
let refusal = '';
try {
  await client.search({ resourceType: 'DocumentReference', searchParams: { colour: 'red' } });
} catch (error) {
  refusal = `${error.response.status} ${error.response.data.issue[0].code}`;
}
const stated = await client.capabilityStatement();
console.log(JSON.stringify({
  sent: sent.entry.map((one) => one.response.status),
  total: found.total,
  next: next.entry.length,
  data: binary.data,
  refusal,
  stated: stated.fhirVersion,
}));
