/// The version of the program, as `dfsd version`, `status` and the protocol's answers show it.
enum Version {
  static let current = "0.1.0"
}
