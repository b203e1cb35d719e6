#pragma once
// SHA256_CTX is a plain structure: hashing with it allocates nothing, which EVP can not offer. OpenSSL 3 marks it
// deprecated in favour of EVP and keeps it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// OpenSSL writes these as function-like macros, which Swift does not import.
static inline int dfs_ssl_ctx_set_min_tls12(SSL_CTX *context) {
  return (int)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}
// Long-lived connections gain nothing from resumption, and without it a reload changes every new handshake.
static inline void dfs_ssl_ctx_set_safe_options(SSL_CTX *context) {
  SSL_CTX_set_options(
      context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
static inline int dfs_ssl_set_server_name(SSL *session, const char *name) {
  return (int)SSL_set_tlsext_host_name(session, name);
}
static inline void dfs_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void dfs_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline int dfs_general_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline const GENERAL_NAME *dfs_general_name(const GENERAL_NAMES *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}
static inline const ASN1_STRING *dfs_general_name_text(const GENERAL_NAME *name) {
  // The member is the same for DNS names, addresses and URIs: each is an ASN1_STRING.
  switch (name->type) {
    case GEN_DNS: return name->d.dNSName;
    case GEN_URI: return name->d.uniformResourceIdentifier;
    case GEN_IPADD: return name->d.iPAddress;
    default: return 0;
  }
}
