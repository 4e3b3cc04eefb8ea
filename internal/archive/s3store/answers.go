package s3store

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/aws/smithy-go"

	"sluice/internal/pipeline"
)

// answer is what is done about an error of the store: by its code, or where that is none of those by its status. The first
// row that fits counts. Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
type answer struct {
	code    string // empty: any
	status  int    // 0: any
	action  pipeline.Action
	missing bool // the object is not there; the caller knows what that means
	why     string
	cure    string // what an operator may do, for the message
}

const (
	seeCredentials = "see the credentials: access_key and secret_key, or those of AWS's default chain"
	seeRights      = "the rights that are needed are in deploy/aws"
	expired        = "credentials or clocks that go right by themselves"
)

var answers = []answer{
	{code: "ExpiredToken", why: expired},
	{code: "ExpiredTokenException", why: expired},
	{code: "RequestExpired", why: expired},
	{code: "RequestTimeTooSkewed", why: expired},
	{code: "TokenRefreshRequired", why: expired},
	{code: "AccessDenied", action: pipeline.Operator, why: "a right is missing", cure: seeRights},
	{code: "AccountProblem", action: pipeline.Operator, why: "AWS has closed the account"},
	{code: "AllAccessDisabled", action: pipeline.Operator, why: "a right is missing", cure: seeRights},
	{code: "AuthorizationHeaderMalformed", action: pipeline.Operator, why: "mostly the wrong region", cure: "see region"},
	{code: "IllegalLocationConstraintException", action: pipeline.Operator, why: "the wrong region", cure: "see region"},
	{code: "InvalidAccessKeyId", action: pipeline.Operator, why: "wrong credentials", cure: seeCredentials},
	{code: "InvalidBucketName", action: pipeline.Operator, why: "no bucket has such a name", cure: "see bucket"},
	{code: "InvalidStorageClass", action: pipeline.Operator, why: "the store has no such class", cure: "see storage_class"},
	{code: "KMS.NotFoundException", action: pipeline.Operator, why: "the KMS key is not there", cure: "see sse.kms_key_id"},
	{code: "NoSuchBucket", action: pipeline.Operator, why: "the bucket is not there", cure: "make the bucket, or see bucket, region and endpoint"},
	{code: "NotImplemented", action: pipeline.Operator, why: "a store without conditional writes"},
	{code: "PermanentRedirect", action: pipeline.Operator, why: "the bucket is elsewhere", cure: "see region and endpoint"},
	{code: "SignatureDoesNotMatch", action: pipeline.Operator, why: "wrong credentials", cure: seeCredentials},
	{code: "SlowDown", action: pipeline.RepeatSlow, why: "the store asks for less load"},
	{status: http.StatusForbidden, action: pipeline.Operator, why: "any other refusal; S3 also answers so for what is not there, without s3:ListBucket", cure: seeRights},
	{status: http.StatusNotFound, missing: true, why: "an object that is read or was there a moment ago"},
	{status: http.StatusTooManyRequests, action: pipeline.RepeatSlow, why: "the store asks for less load"},
	{status: http.StatusServiceUnavailable, action: pipeline.RepeatSlow, why: "the store asks for less load"},
	{status: http.StatusConflict, why: "another conditional write of that key is under way"},
	{status: http.StatusInternalServerError, why: "also where the object was stored: the next PUT finds it"},
}

// answerTo finds the row of an error; none is the zero row: repeat.
func answerTo(err error) answer {
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	s := status(err)
	for _, a := range answers {
		if a.code != "" && a.code == code || a.code == "" && a.status == s {
			return a
		}
	}
	return answer{}
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, a := range answers {
		text := a.code
		if text == "" {
			text = strconv.Itoa(a.status)
		}
		rows = append(rows, pipeline.Answer{Answer: text, Action: a.action, Why: a.why})
	}
	return rows
}
