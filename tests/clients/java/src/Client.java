import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.jopenlibs.vault.Vault;
import io.github.jopenlibs.vault.VaultConfig;
import io.github.jopenlibs.vault.VaultException;
import io.github.jopenlibs.vault.json.Json;
import io.github.jopenlibs.vault.json.JsonObject;
import io.github.jopenlibs.vault.response.AuthResponse;
import io.github.jopenlibs.vault.response.LogicalResponse;
import java.util.Map;

/**
 * A program on vault-java-driver: what an application does in its life, against our server. VAULT_ADDR, ROLE_ID and
 * SECRET_ID are in its environment; languages.py says what they may do.
 */
public final class Client {
    public static void main(String[] args) throws Exception {
        String address = System.getenv("VAULT_ADDR");
        AuthResponse login = Vault.create(new VaultConfig().address(address).build())
                .auth().loginByAppRole(System.getenv("ROLE_ID"), System.getenv("SECRET_ID"));
        want("policies of the login", login.getAuthPolicies().toString(), "[client, default]");
        String token = login.getAuthClientToken();
        // a configuration each: the driver keeps the engine's version in it
        Vault plain = Vault.create(new VaultConfig().address(address).token(token).build(), 1);
        Vault versioned = Vault.create(new VaultConfig().address(address).token(token).build(), 2);

        String path = "secret/data/client/java";
        LogicalResponse first = plain.logical().write(path, version("one", 0));
        want("first version", first.getData().get("version"), "1");
        // this driver reports the refusal of a write in the response
        want("a write over another's version", plain.logical().write(path, version("late", 0)).getRestResponse().getStatus(), 400);
        plain.logical().write(path, version("two", 1));
        want("latest", versioned.logical().read("secret/client/java").getData().get("password"), "two");
        want("old version", versioned.logical().read("secret/client/java", true, 1).getData().get("password"), "one");
        want("list", plain.logical().list("secret/metadata/client").getListData().toString(), "[java]");
        plain.logical().delete("secret/metadata/client/java");

        String wrapping = plain.auth().wrap(new JsonObject().add("inside", "this"), 60).getToken();
        want("unwrapped", plain.auth().unwrap(wrapping).getData().get("inside").asString(), "this");
        refused("a second unwrap", 400, () -> plain.auth().unwrap(wrapping));

        LogicalResponse key = plain.logical().read("aws/creds/deploy");
        want("keys of AWS", key.getData().get("access_key").startsWith("AKIA"), true);
        byte[] renewed = plain.leases().renew(key.getLeaseId(), 1800).getRestResponse().getBody();
        want("lease", Json.parse(new String(renewed, UTF_8)).asObject().getLong("lease_duration", 0), 1800L);
        plain.leases().revoke(key.getLeaseId());
        refused("the lease after its end", 400, () -> plain.leases().renew(key.getLeaseId(), 1800));

        want("token", plain.auth().renewSelf(1200).getAuthLeaseDuration(), 1200L);
        plain.auth().revokeSelf();
        refused("the token after its end", 403, () -> plain.auth().lookupSelf());
        System.out.println("done");
    }

    private static Map<String, Object> version(String password, int cas) {
        JsonObject data = new JsonObject().add("user", "u").add("password", password);
        return Map.of("data", data, "options", new JsonObject().add("cas", cas));
    }

    private static void want(String what, Object got, Object want) {
        if (!want.equals(got)) {
            throw new AssertionError(what + ": " + got + ", not " + want);
        }
    }

    private static void refused(String what, int status, Call call) throws Exception {
        try {
            call.run();
        } catch (VaultException error) {
            want(what, error.getHttpStatusCode(), status);
            return;
        }
        throw new AssertionError(what + " was not refused");
    }

    private interface Call {
        void run() throws Exception;
    }
}
