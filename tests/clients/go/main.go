// A program on the public client library of Go: what an application does in its life, against our server.
// VAULT_ADDR, ROLE_ID and SECRET_ID are in its environment; languages.py says what they may do.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/hashicorp/vault/api"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	client, err := api.NewClient(api.DefaultConfig())
	check("client", err)

	login, err := client.Logical().WriteWithContext(ctx, "auth/approle/login", map[string]interface{}{
		"role_id": os.Getenv("ROLE_ID"), "secret_id": os.Getenv("SECRET_ID")})
	check("login", err)
	client.SetToken(login.Auth.ClientToken)
	want("policies of the login", fmt.Sprint(login.Auth.Policies), "[client default]")

	kv := client.KVv2("secret")
	first, err := kv.Put(ctx, "client/go", map[string]interface{}{"user": "u", "password": "one"}, api.WithCheckAndSet(0))
	check("first version", err)
	want("first version", first.VersionMetadata.Version, 1)
	_, err = kv.Put(ctx, "client/go", map[string]interface{}{"password": "late"}, api.WithCheckAndSet(0))
	var refused *api.ResponseError
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest {
		log.Fatalf("a write over another's version: %v", err)
	}
	_, err = kv.Put(ctx, "client/go", map[string]interface{}{"password": "two"}, api.WithCheckAndSet(1))
	check("second version", err)
	_, err = kv.Patch(ctx, "client/go", map[string]interface{}{"port": 5432})
	check("patch", err)
	latest, err := kv.Get(ctx, "client/go")
	check("read", err)
	want("latest", fmt.Sprintf("%v %v %v", latest.Data["password"], latest.Data["port"], latest.VersionMetadata.Version), "two 5432 3")
	old, err := kv.GetVersion(ctx, "client/go", 1)
	check("old version", err)
	want("old version", old.Data["password"], "one")
	check("delete", kv.DeleteMetadata(ctx, "client/go"))
	if _, err = kv.Get(ctx, "client/go"); !errors.Is(err, api.ErrSecretNotFound) {
		log.Fatalf("a deleted secret: %v", err)
	}

	client.SetWrappingLookupFunc(func(operation, path string) string { return "60s" })
	wrapped, err := client.Logical().ReadWithContext(ctx, "auth/token/lookup-self")
	check("wrap", err)
	client.SetWrappingLookupFunc(nil)
	inside, err := client.Logical().UnwrapWithContext(ctx, wrapped.WrapInfo.Token)
	check("unwrap", err)
	want("inside", inside.Data["display_name"], "approle")
	if _, err = client.Logical().UnwrapWithContext(ctx, wrapped.WrapInfo.Token); err == nil {
		log.Fatal("it was unwrapped twice")
	}

	key, err := client.Logical().ReadWithContext(ctx, "aws/creds/deploy")
	check("keys of AWS", err)
	if key.Data["access_key"] == "" || key.LeaseID == "" || !key.Renewable {
		log.Fatalf("keys of AWS without key or lease: %v", key.LeaseID)
	}
	renewed, err := client.Sys().RenewWithContext(ctx, key.LeaseID, 1800)
	check("renew", err)
	want("lease", renewed.LeaseDuration, 1800)
	check("revoke", client.Sys().RevokeWithContext(ctx, key.LeaseID))

	self, err := client.Auth().Token().RenewSelfWithContext(ctx, 1200)
	check("renew the token", err)
	want("token", self.Auth.LeaseDuration, 1200)
	check("revoke the token", client.Auth().Token().RevokeSelfWithContext(ctx, ""))
	if _, err = client.Auth().Token().LookupSelfWithContext(ctx); err == nil {
		log.Fatal("a revoked token works")
	}
	fmt.Println("done")
}

func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func want(what string, got, want interface{}) {
	if got != want {
		log.Fatalf("%s: %v, not %v", what, got, want)
	}
}
