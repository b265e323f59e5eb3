// A certified OpenID Connect provider whose sign-in page takes any name.
// Arguments: port, client secret, redirect address.
import Provider from "oidc-provider";

const [port, secret, redirect] = process.argv.slice(2);

// What issuers say of an address, by what it begins with.
function confirmed(id) {
  if (id.startsWith("silent")) return undefined;
  if (id.startsWith("text")) return "true";
  return !id.startsWith("unverified");
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "dss", client_secret: secret, redirect_uris: [redirect] }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: id,
      email_verified: confirmed(id),
      name: "<b>Ann</b>",
    }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
