/// The exit statuses that `dfsd --help` documents, as far as the tests name them.
enum ExitCode {
  static let failedPrecondition: Int32 = 5
  static let corrupt: Int32 = 6
  static let atRisk: Int32 = 12
}
