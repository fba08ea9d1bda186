package connector

import "github.com/superfasttt/connectors/connector-sdk/go/connectorpb"

// Checks is the answer of TestConnection, built check by check in the order in which a person should read them. The zero
// value is ready. Names are stable snake_case, such as "root_readable".
type Checks struct {
	response connectorpb.TestConnectionResponse
}

// Passed: it is as it should be.
func (c *Checks) Passed(name, message string) *Checks {
	return c.add(name, connectorpb.Check_OUTCOME_PASSED, message, "")
}

// Failed: it must be mended, in the way that fix tells, before a sync can work.
func (c *Checks) Failed(name, message, fix string) *Checks {
	return c.add(name, connectorpb.Check_OUTCOME_FAILED, message, fix)
}

// Tried is Passed where there is no error, else Failed with what the error says and what to do about its reason.
func (c *Checks) Tried(name string, err error) *Checks {
	if err == nil {
		return c.Passed(name, "the source answers as it should")
	}
	failed, _ := classify(err)
	return c.Failed(name, failed.Message, mends[failed.Reason])
}

// Warning: a sync works, but not as well as it could.
func (c *Checks) Warning(name, message, fix string) *Checks {
	return c.add(name, connectorpb.Check_OUTCOME_WARNING, message, fix)
}

// Skipped: it was not tried, because an earlier one failed.
func (c *Checks) Skipped(name, message string) *Checks {
	return c.add(name, connectorpb.Check_OUTCOME_SKIPPED, message, "")
}

// Account says whose account the connection reads: the source's stable id, and the name and e-mail address where they are
// known. Without an id it says nothing.
func (c *Checks) Account(id, displayName, email string) *Checks {
	if id == "" {
		return c
	}
	c.response.Account = &connectorpb.AccountIdentity{Id: readable(id), DisplayName: readable(displayName), Email: readable(email)}
	return c
}

func (c *Checks) add(name string, outcome connectorpb.Check_Outcome, message, fix string) *Checks {
	check := &connectorpb.Check{Name: readable(name), Outcome: outcome, Message: clip(message, maxErrorBytes), Fix: clip(fix, maxErrorBytes)}
	c.response.Checks = append(c.response.Checks, check)
	return c
}

// What a person does about a failed check, by the reason of the error.
var mends = map[Reason]string{
	CredentialExpired: "connect the account again",
	CredentialRevoked: "enter a key that the source accepts, or connect the account again",
	ScopeMissing:      "connect the account again and agree to all that is asked",
	AccessDenied:      "ask an administrator of the source to let this account read it",
	NotFound:          "correct the connection's settings",
	RateLimited:       "wait a while and test again",
	QuotaExhausted:    "wait, or have the allowance raised",
	SettingsInvalid:   "correct the connection's settings",
	SourceUnavailable: "see whether the source answers, and test again",
}
