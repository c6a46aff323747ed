// What fhir-kit-client does with the Import API: token endpoint, sync, contents, outcome. Tells what it saw as one line of JSON.
import { Client } from 'fhir-kit-client';

const [base, token] = process.argv.slice(2);
const client = new Client({ baseUrl: base, bearerToken: token });
const smart = await client.smartAuthMetadata();
const page = await client.operation({ name: 'sync', resourceType: 'DocumentReference', method: 'GET', input: { _count: 1 } });
const document = page.entry[0].resource;
const [kind, id] = document.content[0].attachment.url.split('/');
const binary = await client.read({ resourceType: kind, id, options: { headers: { Accept: 'application/fhir+json' } } });
const acknowledge = (outcome) => client.operation({
  name: 'acknowledge',
  resourceType: 'DocumentReference',
  id: document.id,
  method: 'POST',
  input: { resourceType: 'Parameters', parameter: [{ name: 'outcome', valueCode: outcome }] },
});
const said = await acknowledge('integrated');
const next = await client.nextPage({ bundle: page });
let refusal = '';
try {
  await acknowledge('unreadable');
} catch (error) {
  refusal = `${error.response.status} ${error.response.data.issue[0].code}`;
}
console.log(JSON.stringify({
  token: smart.tokenUrl.href,
  relations: page.link.map((one) => one.relation),
  data: binary.data,
  said: said.issue[0].details.coding[0].code,
  next: next.entry.length,
  refusal,
}));
